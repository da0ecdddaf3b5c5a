"""Documents as files: invoices and receipts, and tables for exports. Drawn from values, without a network."""
