"""Bookings from their confirmation to their end; used by the API and the jobs role."""
