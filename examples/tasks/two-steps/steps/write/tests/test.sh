#!/bin/sh
if [ "$(sort numbers.txt | tr '\n' ' ')" = "1 2 3 " ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
