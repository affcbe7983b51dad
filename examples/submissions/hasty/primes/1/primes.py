print(2, 3, 5, 7, 9, 11, sep="\n")
