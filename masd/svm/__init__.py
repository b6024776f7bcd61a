"""What gives f on labelled inputs (Eq. 8, 9): the kernel machine, the fusion's training, their inputs."""
