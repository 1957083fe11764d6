// A graph of one or two lines over the last minutes. Its description says in words what it shows.

import { h } from './dom.js'
import { amount } from './numbers.js'

const SVG = 'http://www.w3.org/2000/svg'
const PERIOD = 300000 // milliseconds
const WIDTH = 300
const HEIGHT = 100

export function graph(title, unit, lines) {
  const end = Date.now()
  const highest = Math.max(...lines.flatMap(([, points]) => points.map(([, value]) => value)), 0)
  const words = lines.map(([name, points]) =>
    `${name} ${points.length ? amount(points.at(-1)[1], unit) : 'not known yet'}`).join(', ')
  const picture = element('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': `${title}: ${words}; at most ${amount(highest, unit)} in five minutes` })
  lines.forEach(([, points], place) => picture.append(element('polyline', {
    class: place ? 'second' : 'first',
    points: points.map(([time, value]) => [
      WIDTH * (1 - (end - time) / PERIOD), HEIGHT - 4 - (HEIGHT - 8) * (highest ? value / highest : 0),
    ].map((part) => part.toFixed(1)).join()).join(' '),
  })))
  return h('figure', {}, h('figcaption', {}, title), picture,
    h('div', { class: 'detail' }, `${words}; at most ${amount(highest, unit)}`))
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name)
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value)
  return made
}
