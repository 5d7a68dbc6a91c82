"""Training and evaluating one run: the LightningModule, its command line, and what a run came to."""
