"""On-device speech emotion recognition by knowledge transfer through a graph."""
