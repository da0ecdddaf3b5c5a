"""Loans on batteries: instalments, payments, penalties, and batteries that wait for them. Ienerzy's rules."""
