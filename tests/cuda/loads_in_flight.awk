# Of each kernel in cuobjdump's SASS the most loads of global memory that one warp has under way at once inside an innermost loop: it
# counts those that stand before the first reader of any of them. One means that memory is waited for value by value.
function hex(digits,   i, n) {
  for (i = n = 0; i < length(digits);) n = 16 * n + index("0123456789abcdef", substr(digits, ++i, 1)) - 1
  return n
}
function finish(   i, j, k, inner, most) {
  if (name == "") return
  most = 0
  for (i = 1; i <= loops; i++) {
    inner = 1
    for (j = 1; j <= loops; j++) if (j != i && from[j] >= from[i] && to[j] <= to[i] && (from[j] > from[i] || to[j] < to[i])) inner = 0
    if (inner) { k = under_way(from[i], to[i]); if (k > most) most = k }
  }
  print name, most
}
# Walks through the instructions between two addresses.
function under_way(first, last,   i, text, n, w, words, pending, outstanding, most, register, k) {
  outstanding = most = 0
  for (i = 1; i <= count; i++) {
    if (address[i] < first || address[i] > last) continue
    text = code[i]
    sub(/^@!?U?P[0-9T]+ */, "", text)
    n = split(text, words, /[^A-Za-z0-9_.]+/)
    if (target[address[i]] || words[1] ~ /^(BRA|CALL|BAR|RET|WARPSYNC)/) { delete pending; outstanding = 0 }
    # A store reads all its registers, anything else all but the first, which it writes.
    for (w = words[1] ~ /^(ST|RED|ATOM)/ ? 2 : 3; w <= n; w++) {
      register = words[w]
      sub(/\..*/, "", register)
      if (register in pending) { delete pending; outstanding = 0 }
    }
    if (words[1] !~ /^LDG/) continue
    k = words[1] ~ /\.128/ ? 4 : words[1] ~ /\.64/ ? 2 : 1
    for (w = 0; w < k; w++) pending["R" (substr(words[2], 2) + w)] = 1
    if (++outstanding > most) most = outstanding
  }
  return most
}
/Function :/ { finish(); name = $3; count = loops = 0; delete target; next }
match($0, /^[ \t]*\/\*[0-9a-f]+\*\/[ \t]+[^ \t]/) {
  line = $0
  sub(/^[ \t]*\/\*/, "", line)
  here = hex(substr(line, 1, index(line, "*") - 1))
  sub(/^[0-9a-f]+\*\/[ \t]+/, "", line)
  sub(/;.*/, "", line)
  address[++count] = here; code[count] = line
  if (match(line, /BRA[^0]*0x[0-9a-f]+/)) {
    there = line
    sub(/.*0x/, "", there)
    sub(/[^0-9a-f].*/, "", there)
    there = hex(there)
    target[there] = 1
    if (there <= here && there != here) { from[++loops] = there; to[loops] = here }
  }
}
END { finish() }
