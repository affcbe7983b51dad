#!/bin/sh
if [ "$(tr '\n' ' ' < numbers.txt)" = "1 2 3 " ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
