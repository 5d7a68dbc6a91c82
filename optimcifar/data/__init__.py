"""Image data sets as LightningDataModules."""
