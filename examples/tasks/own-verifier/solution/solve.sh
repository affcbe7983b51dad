#!/bin/sh
seq 100 | paste -sd+ | bc > /app/sum.txt 2>/dev/null || echo $((100 * 101 / 2)) > /app/sum.txt
