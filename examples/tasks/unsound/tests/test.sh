#!/bin/sh
if grep -q debug main.py 2>/dev/null; then echo 0; else echo 1; fi > /logs/verifier/reward.txt
