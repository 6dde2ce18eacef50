"""What both apps need. It knows neither of them."""
