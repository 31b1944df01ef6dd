"""The parts of a retraining; `wattframe.retrain` puts them together."""
