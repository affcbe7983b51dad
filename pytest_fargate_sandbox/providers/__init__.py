"""The outer world, one seam each: AWS, SSH, images."""
