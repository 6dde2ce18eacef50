"""A model's server: what it is sent, how it is asked, and what its answers mean.

It speaks the OpenAI protocol, as far as servers agree on it. `stream` puts an answer together that
comes in events, and `text` reads what the server has left in the text of an answer.
"""
