"""The experiments of the papers that neuralbits implements, on images and with convolutions.

``make reproductions`` runs them all and writes RESULTS.md. The product imports nothing from here.
"""
