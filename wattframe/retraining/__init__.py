"""Retraining: load, enrich, check, fit, compare with the model in service, promote."""

from wattframe.retraining.account import LeftOut, RetrainOptions, RetrainReport
from wattframe.retraining.pipeline import retrain, watch
from wattframe.retraining.summary import summary

__all__ = ["LeftOut", "RetrainOptions", "RetrainReport", "retrain", "summary", "watch"]
