"""How it runs on one machine: embedded servers, supervisor, status screen."""
