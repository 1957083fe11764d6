// Elements, and changes of the document that keep the focus where it is.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false || value === null) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false))
  return element
}

// Replaces the content. What had the focus has it again, if an element of the same id is there.
export function render(root, ...children) {
  const focused = root.contains(document.activeElement) ? document.activeElement.id : ''
  root.replaceChildren(...children.flat(Infinity).filter(Boolean))
  if (focused) document.getElementById(focused)?.focus()
}

export function table(caption, headings, rows) {
  return h('table', { role: 'table' }, h('caption', {}, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' },
      headings.map((heading) => h('th', { role: 'columnheader', scope: 'col' }, heading)))),
    h('tbody', { role: 'rowgroup' }, rows.map((cells) => line(headings, cells))))
}

// A row. On a narrow screen each cell shows its heading.
export function line(headings, cells) {
  return h('tr', { role: 'row' }, cells.map((content, column) =>
    h('td', { role: 'cell', 'data-heading': headings[column] }, content)))
}

export function age(time, now = Date.now()) {
  const seconds = Math.floor((now - Date.parse(time)) / 1000)
  if (!time || Number.isNaN(seconds)) return ''
  for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'm']]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)}${unit}`
  }
  return `${Math.max(seconds, 0)}s`
}

export function since(time) {
  return time ? h('time', { datetime: time, title: time }, age(time)) : ''
}

// Time goes on where nothing else changes.
export function refreshAges() {
  for (const element of document.querySelectorAll('time')) element.textContent = age(element.dateTime)
}

// A state as a word with a colour; the colour says nothing that the word does not.
export function badge(text, kind) {
  return h('span', { class: `badge ${kind}` }, text)
}
