#!/bin/sh
printf '3\n1\n2\n' > numbers.txt
