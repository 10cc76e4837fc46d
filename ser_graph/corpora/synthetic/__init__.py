"""Built-in speech: a voice, made-up languages, the corpora that they speak."""
