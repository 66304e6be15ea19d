"""finefit: fine-tuning whose memory is known before the run."""

__version__ = "0.1.0"
