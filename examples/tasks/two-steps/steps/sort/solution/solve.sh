#!/bin/sh
sort -o numbers.txt numbers.txt
