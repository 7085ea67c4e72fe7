"""The offline model: a small CIFAR-10 network trained from scratch, for hosts that cannot download ResNet50."""
