-- What an order's invoice says of seller, buyer and goods, as it was when it was issued: an invoice does not change
-- when somebody moves. See `stream/stock/ordering.py`.

ALTER TABLE orders ADD COLUMN invoice_facts jsonb;
