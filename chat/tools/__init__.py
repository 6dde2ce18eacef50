"""Tools of the assistant, and the toolbox through which a turn calls them."""
