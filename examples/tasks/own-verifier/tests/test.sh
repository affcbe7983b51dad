#!/bin/sh
# Half the reward for a number, all of it for the right one.
sum=$(cat /app/sum.txt)
case "$sum" in
  5050) echo '{"reward": 1, "is_a_number": 1}' ;;
  *[!0-9]* | "") echo '{"reward": 0, "is_a_number": 0}' ;;
  *) echo '{"reward": 0.5, "is_a_number": 1}' ;;
esac > /logs/verifier/reward.json
