// Keeps the statistics page current: fetches the rows' texts every few seconds and puts them in place; filters, sorts and
// asks before acting. Nothing here formats numbers or knows HAProxy's codes: the texts come ready from weir.
'use strict';
(() => {
  const root = document.documentElement;
  // With the origin: the page's own address may hold a password, which fetch refuses.
  const uri = location.origin + root.dataset.uri;
  const ORDER = ['up', 'nocheck', 'maint', 'drain', 'failing', 'rising', 'down'];
  const PER_PAGE = 100;
  const FIELDS = 9; // of a row in the feed, before its cells
  const ZERO = new Set(['0', '0 / 0', '0 B', '0 ms']);
  const STATUS = 0, CHECK = 1, QUEUE = 3, LIMIT = 5, TIME = 15;

  const remember = {
    get(key) { try { return localStorage.getItem('weir.' + key); } catch { return null; } },
    set(key, value) {
      try { value === null ? localStorage.removeItem('weir.' + key) : localStorage.setItem('weir.' + key, value); } catch { /* private mode */ }
    },
  };
  // Before the body is drawn, so that nothing flashes.
  root.classList.add('js');
  if (remember.get('theme')) root.dataset.theme = remember.get('theme');

  const state = { seq: +root.dataset.seq, words: [], problemsOnly: false, sort: null, paused: false, version: null, timer: 0, failures: 0 };
  const proxies = new Map(); // id -> { section, body, rows, page, chosen, trs }
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const make = (tag, props = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };
  const setText = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

  // --- the feed -----------------------------------------------------------------------------------------------------
  function feedUrl() {
    const here = location.pathname + location.search;
    const options = [';up', ';no-maint'].filter(word => here.includes(word)).join('');
    const scope = /[?;&]scope=([^;&]*)/.exec(here);
    return `${uri};live;seq=${state.seq}${options}${scope ? '?scope=' + scope[1] : ''}`;
  }

  async function refresh() {
    clearTimeout(state.timer);
    try {
      const answer = await fetch(feedUrl(), { credentials: 'same-origin', cache: 'no-store' });
      if (!answer.ok) throw new Error(answer.status === 401 ? 'signed out' : `HTTP ${answer.status}`);
      take(await answer.json());
      state.failures = 0;
      state.since = null;
    } catch (error) {
      state.failures += 1;
      state.since ??= new Date();
      state.problem = error.message;
    }
    showLive();
    schedule();
  }

  function schedule() {
    clearTimeout(state.timer);
    if (state.paused || document.hidden) return;
    const wanted = +root.dataset.refresh * 1000;
    let rows = 0;
    for (const proxy of proxies.values()) rows += proxy.rows.length;
    const usual = wanted || (rows > 800 ? 5000 : 2000);
    state.timer = setTimeout(refresh, Math.min(usual * 2 ** Math.min(state.failures, 4), 60000));
  }

  function take(feed) {
    const known = feed.proxies.every(p => proxies.has(String(p[0]))) && feed.proxies.length === proxies.size;
    if (!known || (state.version && state.version !== feed.version)) return location.reload();
    state.version = feed.version;
    const fresh = feed.seq > state.seq;
    state.seq = feed.seq;
    document.title = document.title.replace(/^.*? - weir/, () => `${feed.title} - weir`);
    const icon = $('link[rel=icon]');
    if (icon.getAttribute('href') !== feed.icon) icon.setAttribute('href', feed.icon);
    feed.tiles.forEach(showTile);
    showProblems(feed);
    showReload(feed.reload);
    showVrrp(feed.vrrp);
    showL4(feed.l4);
    for (const [id, kind, words, ...series] of feed.proxies) showProxy(proxies.get(String(id)), kind, words, fresh && series);
    for (const proxy of proxies.values()) proxy.rows = [];
    for (const row of feed.rows) proxies.get(row[0].split('.')[0])?.rows.push(row);
    for (const proxy of proxies.values()) draw(proxy);
  }

  function showTile([id, value, note, kind, percent, series]) {
    const tile = document.getElementById('t-' + id);
    if (!tile) return;
    setText($('.big', tile), value);
    setText($('.note', tile), note);
    if (kind) tile.className = `tile state ${kind}`;
    const meter = $('meter', tile);
    if (meter) meter.value = percent;
    if (series) spark($('.spark', tile), series);
  }

  function showProblems({ problems, more }) {
    const section = $('#problems');
    section.hidden = problems.length === 0;
    const items = problems.map(([id, kind, name, text]) => {
      const link = make('a', { href: id ? `${root.dataset.uri};row=${id}` : '#vrrp', textContent: name });
      if (id) link.dataset.row = '';
      return make('li', { className: `state ${kind}` }, link, ' ', make('span', { textContent: text }));
    });
    if (more) items.push(make('li', { textContent: `and ${more} more` }));
    const list = $('ul', section);
    if (list.contains(document.activeElement)) return;
    list.replaceChildren(...items);
  }

  function showReload([head, why]) {
    const section = $('#reload');
    section.hidden = !head;
    setText($('h2', section), head ?? '');
    setText($('pre', section), why ?? '');
  }

  function showVrrp(routers) {
    $$('#vrrp tbody tr').forEach((line, i) => {
      const [kind, ...texts] = routers[i] || ['maint'];
      line.className = kind;
      $$('td', line).forEach((cell, j) => setText(cell, texts[j] ?? ''));
    });
  }

  function showL4(lines) {
    const body = $('#l4 tbody');
    if (!body) return;
    if (body.rows.length !== lines.length) {
      body.replaceChildren(...lines.map(([, , ...texts]) =>
        make('tr', {}, make('th', { scope: 'row' }), ...texts.map(() => make('td')))));
    }
    lines.forEach(([kind, ...texts], i) => {
      body.rows[i].className = kind;
      [...body.rows[i].cells].forEach((cell, j) => setText(cell, texts[j]));
    });
  }

  function showProxy(proxy, kind, words, series) {
    const badge = $('.badge', proxy.section);
    badge.className = `badge state ${kind}`;
    setText(badge, words);
    proxy.kind = kind;
    if (!series || series.length < 3) return;
    $$('.trends .trend', proxy.section).forEach((trend, i) => {
      const values = series[i];
      const last = values.length ? values[values.length - 1] : 0;
      setText($('b', trend), last > 0 && last < 9.95 ? last.toFixed(1) : Math.round(last).toLocaleString('en'));
      spark($('.spark', trend), values);
    });
  }

  function spark(svg, values) {
    if (!svg || values.length < 2) return;
    const top = Math.max(1, ...values);
    svg.classList.toggle('calm', Math.max(...values) === 0);
    svg.setAttribute('viewBox', `0 0 ${values.length - 1} 20`);
    const line = svg.firstElementChild || svg.appendChild(document.createElementNS('http://www.w3.org/2000/svg', 'polyline'));
    line.setAttribute('points', values.map((v, x) => `${x},${(19 - v / top * 18).toFixed(1)}`).join(' '));
  }

  // --- rows ---------------------------------------------------------------------------------------------------------
  /** The rows to show of a proxy: those that the filter lets through, sorted. The proxy's own rows frame the servers. */
  function chosenRows(proxy) {
    const own = proxy.section.dataset.name.toLowerCase();
    const matches = text => state.words.every(w => w.startsWith('-') && w.length > 1 ? !text.includes(w.slice(1)) : text.includes(w));
    const whole = matches(own);
    const bad = row => ORDER.indexOf(row[1]) >= ORDER.indexOf('failing');
    const shows = row => (whole || matches(`${own}/${row[2]} ${row[1]} ${row[FIELDS]} ${row[FIELDS + 1]}`.toLowerCase()))
      && (!state.problemsOnly || bad(row));
    const servers = proxy.rows.filter(row => row[3] === '' && shows(row));
    const front = proxy.rows.filter(row => row[3] === 'front' || row[3] === 'listener').filter(shows);
    const back = proxy.rows.filter(row => row[3] === 'back').filter(shows);
    if (state.sort) servers.sort(compare);
    return { front, servers, back };
  }

  function compare(a, b) {
    const { column, down } = state.sort;
    const names = a[2].localeCompare(b[2], 'en', { numeric: true });
    const [x, y] = [key(a, column), key(b, column)];
    const order = column < 0 ? names : x < y ? -1 : x > y ? 1 : 0;
    return (down ? -order : order) || names;
  }

  const UNITS = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 };
  function key(row, column) {
    if (column < 0) return 0;
    if (column === STATUS) return ORDER.indexOf(row[1]);
    const text = row[FIELDS + column];
    if (column === CHECK) return text;
    if (column === LIMIT) return row[4];
    const found = /^([\d.,]+) ?([kMGTPE]?)/.exec(text);
    if (!found) return -1;
    const n = parseFloat(found[1].replaceAll(',', '')) * UNITS[found[2]];
    return column === TIME && text.endsWith(' s') ? n * 1000 : n;
  }

  function draw(proxy) {
    const { front, servers, back } = chosenRows(proxy);
    proxy.section.hidden = front.length + servers.length + back.length === 0;
    const pages = Math.max(1, Math.ceil(servers.length / PER_PAGE));
    proxy.page = Math.min(proxy.page, pages);
    const shown = servers.slice((proxy.page - 1) * PER_PAGE, proxy.page * PER_PAGE);
    const wanted = [...front, ...shown, ...back];
    const keep = new Set(wanted.map(row => row[0]));
    for (const [id, tr] of proxy.trs) if (!keep.has(id)) { tr.remove(); proxy.trs.delete(id); }
    let place = proxy.body.firstElementChild;
    for (const row of wanted) {
      let tr = proxy.trs.get(row[0]);
      if (!tr) proxy.trs.set(row[0], tr = newRow(proxy, row));
      if (tr === place) place = place.nextElementSibling;
      else proxy.body.insertBefore(tr, place);
      fill(tr, row);
    }
    pager(proxy, servers.length, pages);
  }

  function newRow(proxy, row) {
    const name = make('th', { scope: 'row' });
    if (proxy.form && row[3] === '') {
      const box = make('input', { type: 'checkbox', name: 's', value: row[2], checked: proxy.chosen.has(row[2]) });
      box.setAttribute('aria-label', row[2]);
      name.append(box);
    }
    const link = make('a', { href: `${root.dataset.uri};row=${row[0]}`, textContent: row[2] });
    link.dataset.row = '';
    name.append(link);
    const cells = row.slice(FIELDS).map(() => make('td'));
    return make('tr', { id: 'r' + row[0] }, name, ...cells);
  }

  function fill(tr, row) {
    const kind = `${row[1]}${row[3] ? ' ' + row[3] : ''}`;
    if (tr.dataset.kind !== kind) {
      const changed = tr.dataset.kind !== undefined;
      tr.dataset.kind = kind;
      tr.className = kind + (changed ? ' changed' : '');
    }
    const cells = tr.cells;
    for (let i = 0; i < row.length - FIELDS; i++) {
      const cell = cells[i + 1], text = row[FIELDS + i];
      if (i === STATUS) status(cell, text, row[8]);
      else if (i === LIMIT) gauge(cell, text, row[4]);
      else if (i === QUEUE && row[5] >= 0) gauge(cell, text, row[5]);
      else {
        setText(cell, text);
        cell.className = ZERO.has(text) ? 'z' : '';
      }
    }
    if (cells[1].title !== row[6]) cells[1].title = row[6];
    if (cells[2].title !== row[7]) cells[2].title = row[7];
  }

  function status(cell, text, age) {
    let span = $('.age', cell);
    if (!span) cell.replaceChildren('', span = make('span', { className: 'age' }));
    if (cell.firstChild.data !== text + ' ') cell.firstChild.data = text + ' ';
    setText(span, age);
  }

  function gauge(cell, text, percent) {
    let meter = $('meter', cell);
    if (!meter && percent < 0) return setText(cell, text);
    if (!meter) {
      meter = make('meter', { min: 0, max: 100, low: 70, high: 90, optimum: 0 });
      cell.replaceChildren(text, meter);
    }
    if (cell.firstChild.nodeType !== 3) cell.prepend(text);
    else if (cell.firstChild.data !== text) cell.firstChild.data = text;
    if (meter.value !== percent) { meter.value = percent; meter.title = percent + '%'; }
  }

  function pager(proxy, servers, pages) {
    let bar = $('.pager', proxy.section);
    if (pages < 2) return bar?.remove();
    if (!bar?.dataset.live) {
      bar?.remove();
      const turn = by => () => { proxy.page += by; draw(proxy); proxy.section.scrollIntoView(); };
      bar = make('p', { className: 'pager' }, make('span'),
        make('button', { type: 'button', textContent: 'Previous', onclick: turn(-1) }),
        make('button', { type: 'button', textContent: 'Next', onclick: turn(1) }));
      bar.dataset.live = '1';
      $('.scroll', proxy.section).after(bar);
    }
    const first = (proxy.page - 1) * PER_PAGE;
    setText(bar.children[0], `Servers ${first + 1} to ${Math.min(first + PER_PAGE, servers)} of ${servers.toLocaleString('en')}`);
    bar.children[1].disabled = proxy.page === 1;
    bar.children[2].disabled = proxy.page === pages;
  }

  function drawAll() { for (const proxy of proxies.values()) draw(proxy); }

  // --- tools --------------------------------------------------------------------------------------------------------
  function showLive() {
    const button = $('#live');
    const lost = state.failures > 0 && !state.paused;
    button.className = state.paused ? 'paused' : lost ? 'lost' : '';
    root.classList.toggle('stale', lost && state.failures > 1);
    setText(button, state.paused ? 'Paused' : lost ? `No contact since ${state.since.toLocaleTimeString()}` : 'Live');
    button.title = lost ? state.problem : 'Pause, go on (p)';
  }

  function pause() {
    state.paused = !state.paused;
    showLive();
    if (!state.paused) refresh();
  }

  function theme() {
    const order = [null, 'light', 'dark'];
    const next = order[(order.indexOf(root.dataset.theme ?? null) + 1) % order.length];
    if (next) root.dataset.theme = next; else delete root.dataset.theme;
    remember.set('theme', next);
    nameTheme();
  }
  function nameTheme() { setText($('#theme'), { light: 'Light', dark: 'Dark' }[root.dataset.theme] ?? 'Auto'); }

  function problemsOnly() {
    state.problemsOnly = !state.problemsOnly;
    $('#only').setAttribute('aria-pressed', state.problemsOnly);
    drawAll();
  }

  function filter() {
    const text = $('#filter').value.trim().toLowerCase();
    state.words = text.split(/\s+/).filter(Boolean);
    for (const proxy of proxies.values()) proxy.page = 1;
    try { sessionStorage.setItem('weir.filter', text); } catch { /* private mode */ }
    drawAll();
  }

  function sortBy(column) {
    const same = state.sort?.column === column;
    // Names go up first, figures down; a third time returns to the order of the configuration.
    const firstDown = column >= 0 && column !== CHECK;
    state.sort = !same ? { column, down: firstDown } : state.sort.down === firstDown ? { column, down: !firstDown } : null;
    for (const proxy of proxies.values()) {
      $$('thead th', proxy.section).forEach((th, i) => {
        if (state.sort && i - 1 === column) th.setAttribute('aria-sort', state.sort.down ? 'descending' : 'ascending');
        else th.removeAttribute('aria-sort');
      });
      draw(proxy);
    }
  }

  // --- dialogs ------------------------------------------------------------------------------------------------------
  function dialog(kind, ...children) {
    const box = make('dialog', { className: kind }, ...children);
    box.addEventListener('close', () => box.remove());
    box.addEventListener('click', event => { if (event.target === box) box.close(); });
    document.body.append(box);
    box.showModal();
    return box;
  }
  const closer = () => make('button', { className: 'close', textContent: 'Close', onclick: event => event.target.closest('dialog').close() });

  async function details(link) {
    try {
      const answer = await fetch(`${location.origin}${new URL(link.href).pathname}${new URL(link.href).search};part`, { credentials: 'same-origin', cache: 'no-store' });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const body = make('div');
      body.innerHTML = await answer.text();
      const box = dialog('drawer', closer(), body);
      $$('form', box).forEach(form => form.addEventListener('submit', event => {
        event.preventDefault();
        ask(form, [$('[name=s]', form).value], () => box.close());
      }));
    } catch (error) { banner('bad', `The details cannot be shown: ${error.message}.`); }
  }

  function help() {
    if ($('dialog.help')) return;
    dialog('help', closer(), make('h2', { textContent: 'Help' }), $('#help .cols').cloneNode(true));
  }

  function banner(kind, text) {
    $('.banner')?.remove();
    const bar = make('p', { className: 'banner toast ' + kind, textContent: text });
    bar.setAttribute('role', 'status');
    document.body.append(bar);
    setTimeout(() => bar.remove(), 12000);
  }

  // --- actions ------------------------------------------------------------------------------------------------------
  function ask(form, servers, done = () => {}) {
    const option = $('[name=action]', form).selectedOptions[0];
    const id = $('[name=b]', form).value.slice(1);
    const proxy = proxies.get(id);
    if (!option.value) return banner('info', 'Choose an action first.');
    if (!servers.length) return banner('info', 'Choose one or more servers first.');
    const name = proxy.section.dataset.name;
    const left = proxy.rows.filter(row => row[3] === '' && ['up', 'nocheck', 'failing'].includes(row[1]) && !servers.includes(row[2]));
    const takes = ['drain', 'maint', 'hnolb', 'hdown', 'adown'].includes(option.value) && left.length === 0;
    const go = make('button', { className: 'go', textContent: option.textContent, onclick: () => { box.close(); act(form, proxy, servers, option.value); done(); } });
    const box = dialog('confirm',
      make('h2', { textContent: `${option.textContent}?` }),
      make('p', { textContent: `${servers.length === 1 ? 'This server' : servers.length + ' servers'} of ${name}:` }),
      make('ul', {}, ...servers.map(server => make('li', { textContent: server }))),
      make('p', { textContent: option.title }),
      ...(takes ? [make('p', { className: 'warning', textContent: `No server of ${name} will be left for new requests.` })] : []),
      make('p', { className: 'buttons' }, make('button', { textContent: 'Cancel', onclick: () => box.close() }), go));
    go.focus();
  }

  async function act(form, proxy, servers, action) {
    const label = $('[name=action]', form).selectedOptions[0].textContent;
    const body = new URLSearchParams();
    servers.forEach(server => body.append('s', server));
    body.append('b', $('[name=b]', form).value);
    body.append('action', action);
    body.append('token', $('[name=token]', form).value);
    try {
      const answer = await fetch(uri, { method: 'POST', body, credentials: 'same-origin', headers: { Accept: 'application/json' } });
      const outcome = answer.headers.get('content-type') === 'application/json' ? await answer.json() : { class: 'bad', text: await answer.text() };
      if (outcome.code === 'IVAL') return location.reload();
      banner(outcome.class, `${outcome.text} ${label}: ${servers.join(', ')} of ${proxy.section.dataset.name}.`);
    } catch (error) { banner('bad', `The request failed: ${error.message}.`); }
    $('[name=action]', form).selectedIndex = 0;
    proxy.chosen.clear();
    const all = $('thead input', proxy.section);
    if (all) all.checked = false;
    $$('tbody input[type=checkbox]', proxy.section).forEach(box => { box.checked = false; });
    refresh();
  }

  // --- keys ---------------------------------------------------------------------------------------------------------
  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $('dialog[open]')) return;
    const field = event.target;
    if (field.id === 'filter' && event.key === 'Escape') { field.value = ''; filter(); return field.blur(); }
    if (field.matches('input[type=search], select, textarea')) {
      if (field.id === 'filter' && event.key === 'ArrowDown') { event.preventDefault(); step(1); }
      return;
    }
    const run = {
      '/': () => $('#filter').focus(),
      '?': help,
      p: pause,
      t: theme,
      a: problemsOnly,
      ArrowDown: () => step(1),
      ArrowUp: () => step(-1),
    }[event.key];
    if (run) { event.preventDefault(); return run(); }
    if (event.key === ' ' && field.matches('a[data-row]')) {
      const box = $('input[type=checkbox]', field.closest('th') ?? field);
      if (box) { event.preventDefault(); box.click(); }
    }
  }

  function step(by) {
    const links = $$('#proxies section:not([hidden]) tbody a[data-row]');
    const at = links.indexOf(document.activeElement);
    const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.max(0, Math.min(links.length - 1, at + by))];
    next?.focus();
    next?.scrollIntoView({ block: 'nearest' });
  }

  // --- start --------------------------------------------------------------------------------------------------------
  function adopt(section) {
    const body = $('tbody', section);
    const proxy = { section, body, rows: [], page: 1, chosen: new Set(), trs: new Map(), form: $('form', section) };
    for (const tr of [...body.rows]) proxy.trs.set(tr.id.slice(1), tr);
    proxies.set(section.id.slice(1), proxy);
    $$('thead th', section).forEach((th, i) => {
      const button = make('button', { type: 'button', textContent: th.textContent, onclick: () => sortBy(i - 1) });
      th.replaceChildren(button);
      if (i === 0 && proxy.form) {
        const all = make('input', { type: 'checkbox', title: 'Choose all that are shown' });
        all.setAttribute('aria-label', 'Choose all that are shown');
        all.addEventListener('change', () => $$('tbody input[type=checkbox]', section).forEach(box => { if (box.checked !== all.checked) box.click(); }));
        th.prepend(all);
      }
    });
    proxy.form?.addEventListener('submit', event => { event.preventDefault(); ask(proxy.form, [...proxy.chosen]); });
    body.addEventListener('change', event => {
      if (event.target.name === 's') proxy.chosen[event.target.checked ? 'add' : 'delete'](event.target.value);
    });
  }

  document.addEventListener('DOMContentLoaded', () => {
    if (!$('#proxies')) return;
    $$('#proxies > section').forEach(adopt);
    const tool = (id, text, title, onclick) => make('button', { id, type: 'button', textContent: text, title, onclick });
    $('#tools').append(
      tool('live', 'Live', 'Pause, go on (p)', pause),
      tool('only', 'Problems', 'Only what needs attention (a)', problemsOnly),
      tool('theme', 'Auto', 'Light, dark, as the system (t)', theme),
      tool('helper', '?', 'Help (?)', help));
    nameTheme();
    const input = $('#filter');
    try { input.value = sessionStorage.getItem('weir.filter') ?? ''; } catch { input.value = ''; }
    input.addEventListener('input', filter);
    $('#search').addEventListener('submit', event => event.preventDefault());
    document.addEventListener('keydown', keys);
    document.addEventListener('click', event => {
      const link = event.target.closest?.('a[data-row]');
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      details(link);
    });
    document.addEventListener('visibilitychange', () => { if (!document.hidden && !state.paused) refresh(); });
    state.words = input.value.split(/\s+/).filter(Boolean);
    refresh();
  });
})();
