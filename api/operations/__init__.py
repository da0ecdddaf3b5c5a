"""What operators ask: is it alive, is it ready, what does it count, and the documentation."""
