"""Stock and orders of the Lithovolt family: serial numbers, allocations, low stock, orders."""
