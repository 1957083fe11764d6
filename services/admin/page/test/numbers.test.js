// `node --test services/admin/page/test`; a unit test runs it where Node is.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { amount, rates } from '../src/numbers.js'

test('a rate is per second, and a counter that began anew gives none', () => {
  const readings = [[0, 10], [5000, 20], [10000, 3], [15000, null], [20000, 5]].map(([time, cpu]) => ({ time, cpu }))
  assert.deepEqual(rates(readings, 'cpu'), [[5000, 2]])
  assert.deepEqual(rates([], 'cpu'), [])
})

test('amounts have the unit that fits', () => {
  assert.equal(amount(0.5, 'cores'), '0.50 cores')
  assert.equal(amount(12, 'B/s'), '12 B/s')
  assert.equal(amount(1536, 'B'), '1.5 KiB')
  assert.equal(amount(3 * 1024 ** 3, 'B'), '3.0 GiB')
})
