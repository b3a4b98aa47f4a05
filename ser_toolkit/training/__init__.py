"""Train one network with Keras, so that it can be interrupted after any epoch and resumed."""
