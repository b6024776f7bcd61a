"""The systems that MASD is compared with: supervised networks, GMM, acoustic tokens."""
