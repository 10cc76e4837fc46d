"""One small module for each corpus, which reads the codes in its file names."""
