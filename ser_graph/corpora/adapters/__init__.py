"""One small module a corpus: what its file names say."""
