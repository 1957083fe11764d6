// Rates of counters, and amounts as people read them.

// Per second between two readings each; one of another guest of the name, whose counter began anew, gives none.
export function rates(readings, name) {
  return readings.slice(1).map((reading, place) => [reading, readings[place]])
    .filter(([now, before]) => now[name] !== null && before[name] !== null && now[name] >= before[name])
    .map(([now, before]) => [now.time, (now[name] - before[name]) * 1000 / (now.time - before.time)])
}

export function amount(value, unit) {
  if (!unit.startsWith('B')) return `${value.toFixed(2)} ${unit}`
  const sizes = ['', 'Ki', 'Mi', 'Gi', 'Ti']
  let size = 0
  while (value >= 1024 && size < sizes.length - 1) {
    value /= 1024
    size += 1
  }
  return `${value.toFixed(size ? 1 : 0)} ${sizes[size]}${unit}`
}
