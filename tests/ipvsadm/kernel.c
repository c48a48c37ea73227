/* Loaded before ipvsadm (LD_PRELOAD): answers its getsockopt() as a kernel with IPVS would, from the lines of the file $IPVS_TABLE, and
 * opens $IPVS_CONNECTIONS in place of /proc/net/ip_vs_conn.
 *
 *   service PROTOCOL ADDRESS PORT SCHEDULER FLAGS TIMEOUT NETMASK, then ten numbers: what it carried, and in a second
 *   server ADDRESS PORT METHOD WEIGHT UPPER LOWER ACTIVE INACTIVE PERSISTENT, then ten numbers
 *   timeout TCP TCPFIN UDP
 *   daemon STATE(1 master, 2 backup) SYNCID INTERFACE
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/ip_vs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MOST 256
static struct ip_vs_service_entry services[MOST];
static struct ip_vs_dest_entry servers[MOST];
static int owner[MOST], n_services, n_servers, is_read;
static struct ip_vs_timeout_user timeouts = { 900, 120, 300 };
static struct ip_vs_daemon_user daemons[2];

static FILE *(*open_file)(const char *, const char *);

static void stats(const char *text, struct ip_vs_stats_user *s)
{
	unsigned long long n[10] = { 0 };

	sscanf(text, "%llu %llu %llu %llu %llu %llu %llu %llu %llu %llu", n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7,
	       n + 8, n + 9);
	s->conns = n[0], s->inpkts = n[1], s->outpkts = n[2], s->inbytes = n[3], s->outbytes = n[4];
	s->cps = n[5], s->inpps = n[6], s->outpps = n[7], s->inbps = n[8], s->outbps = n[9];
}

static void read_table(void)
{
	char line[512], a[64], b[64];
	unsigned port, n[8];
	int at, k = 0;

	if (is_read++)
		return;
	open_file = dlsym(RTLD_NEXT, "fopen");
	FILE *file = open_file(getenv("IPVS_TABLE"), "r");
	while (file && fgets(line, sizeof(line), file)) {
		struct ip_vs_service_entry *s = &services[n_services];
		struct ip_vs_dest_entry *d = &servers[n_servers];
		if (sscanf(line, "service %u %63s %u %63s %u %u %u %n", n, a, &port, b, n + 1, n + 2, n + 3, &at) == 7) {
			s->protocol = n[0], s->addr = inet_addr(a), s->port = htons(port);
			strcpy(s->sched_name, b);
			s->flags = n[1], s->timeout = n[2], s->netmask = htonl(n[3]);
			stats(line + at, &s->stats);
			n_services++;
		} else if (sscanf(line, "server %63s %u %u %u %u %u %u %u %u %n", a, &port, n, n + 1, n + 2, n + 3, n + 4, n + 5,
				  n + 6, &at) == 9) {
			d->addr = inet_addr(a), d->port = htons(port), d->conn_flags = n[0], d->weight = n[1];
			d->u_threshold = n[2], d->l_threshold = n[3];
			d->activeconns = n[4], d->inactconns = n[5], d->persistconns = n[6];
			stats(line + at, &d->stats);
			owner[n_servers++] = n_services - 1;
			services[n_services - 1].num_dests++;
		} else if (sscanf(line, "timeout %u %u %u", n, n + 1, n + 2) == 3) {
			timeouts = (struct ip_vs_timeout_user){ n[0], n[1], n[2] };
		} else if (k < 2 && sscanf(line, "daemon %u %u %63s", n, n + 1, a) == 3) {
			daemons[k].state = n[0], daemons[k].syncid = n[1];
			strncpy(daemons[k++].mcast_ifn, a, sizeof(daemons[0].mcast_ifn) - 1);
		}
	}
	if (file)
		fclose(file);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	static int (*real)(int, int, int, void *, socklen_t *);
	struct ip_vs_getinfo info = { 1 << 16 | 2 << 8 | 1, 4096, 0 };

	read_table();
	if (level != IPPROTO_IP || name < IP_VS_BASE_CTL) {
		real = dlsym(RTLD_NEXT, "getsockopt");
		return real(fd, level, name, value, length);
	}
	info.num_services = n_services;
	switch (name) {
	case IP_VS_SO_GET_INFO:
		memcpy(value, &info, sizeof(info));
		return 0;
	case IP_VS_SO_GET_SERVICES:
		memcpy(((struct ip_vs_get_services *)value)->entrytable, services, n_services * sizeof(*services));
		return 0;
	case IP_VS_SO_GET_SERVICE: {
		struct ip_vs_service_entry *s = value;
		for (int i = 0; i < n_services; i++)
			if (services[i].protocol == s->protocol && services[i].addr == s->addr && services[i].port == s->port) {
				*s = services[i];
				return 0;
			}
		errno = ESRCH;
		return -1;
	}
	case IP_VS_SO_GET_DESTS: {
		struct ip_vs_get_dests *get = value;
		unsigned found = 0;
		for (int i = 0; i < n_servers; i++) {
			struct ip_vs_service_entry *s = &services[owner[i]];
			if (s->protocol == get->protocol && s->addr == get->addr && s->port == get->port)
				get->entrytable[found++] = servers[i];
		}
		return 0;
	}
	case IP_VS_SO_GET_TIMEOUT:
		memcpy(value, &timeouts, sizeof(timeouts));
		return 0;
	case IP_VS_SO_GET_DAEMON:
		memcpy(value, daemons, sizeof(daemons));
		return 0;
	}
	errno = ENOPROTOOPT;
	return -1;
}

/* Nobody speaks generic netlink of IPVS: the older way is taken. */
int genl_ctrl_resolve(void *socket, const char *name)
{
	return -1;
}

/* No resolver is waited for. */
struct hostent *gethostbyaddr(const void *address, socklen_t length, int family)
{
	return NULL;
}

/* Raw sockets need privileges, and nothing is sent. */
int socket(int domain, int type, int protocol)
{
	static int (*real)(int, int, int);

	real = dlsym(RTLD_NEXT, "socket");
	return type == SOCK_RAW && domain == AF_INET ? real(AF_INET, SOCK_DGRAM, 0) : real(domain, type, protocol);
}

FILE *fopen(const char *path, const char *mode)
{
	read_table();
	return open_file(strcmp(path, "/proc/net/ip_vs_conn") ? path : getenv("IPVS_CONNECTIONS"), mode);
}
