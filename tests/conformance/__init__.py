"""The Open Charge Alliance's cases that concern a central system, by their ids, on real sockets."""
