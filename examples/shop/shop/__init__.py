"""A small shop: customers, their orders, and what the orders hold."""
