"""Define what a component and a recipe are."""
