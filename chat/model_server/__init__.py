"""A model's server: what it is sent, how it is asked, and what its answers mean.

It speaks the OpenAI protocol, as far as servers agree on it.
"""
