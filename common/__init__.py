"""Code that both apps need, and that knows neither of them."""
