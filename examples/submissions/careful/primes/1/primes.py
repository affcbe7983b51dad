import sys

most = int(sys.argv[1])
print(*(n for n in range(2, most) if all(n % d for d in range(2, int(n**0.5) + 1))), sep="\n")
