"""The Mobile family: people of estates, their meters and prepaid wallets, and the portal behind it."""
