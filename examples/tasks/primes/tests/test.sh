#!/bin/sh
if [ "$(python3 primes.py 20 | tr '\n' ' ')" = '2 3 5 7 11 13 17 19 ' ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
