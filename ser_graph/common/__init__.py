"""What all rooms use: settings, files, stages, devices, processes, colours."""
