"""zerosum: train, measure and use generative adversarial networks and their relatives."""

__version__ = "0.1.0"
