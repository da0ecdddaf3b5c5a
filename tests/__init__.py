"""Tests: pure ones by the thousand, then real servers, then the whole product."""
