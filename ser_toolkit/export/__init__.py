"""Turn a trained run into files for devices: converted, measured, verified, bundled."""
