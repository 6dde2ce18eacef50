"""The database: what is waited for, transactions that many share, statements compiled once."""
