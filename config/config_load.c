#include "config/config_load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes */

/* Every byte of the file is part of a character fit for text, and no line is too long. */
static kv_status_t s_check_text (config_load_t *self)
{
    config_t *config = self->config;
    const uint8_t *data = self->bytes.data;
    size_t line = 1, column = 1, line_at = 0;
    bool blank = true;
    for (size_t i = 0; i < self->bytes.size;) {
        config_spot_t spot = config_load_spot (self, line, column);
        uint32_t code;
        size_t length = config_utf8 (data + i, self->bytes.size - i, &code);
        if (length == 0)
            return config_fail (config, spot, "byte 0x%02x is not UTF-8; allowed is UTF-8 text",
                                data[i]);
        bool space = code == '\t' || code == '\n' || code == '\r';
        if (config_is_control (code) && !space)
            return config_fail (config, spot, "character U+%04X is not text; allowed is UTF-8 text",
                                code);
        bool end =
            code == '\n' || (code == '\r' && (i + 1 == self->bytes.size || data[i + 1] != '\n'));
        i += length;
        column++;
        if (end) {
            line++;
            column = 1;
            line_at = i;
        }
        if (i - line_at > CONFIG_LINE_BYTES_MAX)
            return config_fail (config, spot, "the line is too long; at most %d bytes are allowed",
                                CONFIG_LINE_BYTES_MAX);
        blank = blank && (space || code == ' ');
    }
    if (blank)
        return config_fail (config, config_load_spot (self, 1, 1),
                            "the file is empty; allowed are settings, or at least a comment");
    return KV_OK;
}

/* Reads the whole file into `data` (owned by the caller also on failure); NULL, or what is wrong. */
static const char *s_read_file (const char *path, uint8_t **data, size_t *size)
{
    /* Non-blocking, lest a FIFO without a writer holds up the start. */
    int file = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return strerror (errno);
    struct stat status;
    const char *wrong = NULL;
    if (fstat (file, &status) != 0)
        wrong = strerror (errno);
    else if (!S_ISREG (status.st_mode))
        wrong = "not a regular file";
    size_t room =
        CONFIG_FILE_BYTES_MAX + 1; /* one more than allowed, to tell that it is too much */
    if (!wrong)
        *data = config_alloc (room, 1);
    while (!wrong && *size < room) {
        ssize_t bytes = read (file, *data + *size, room - *size);
        if (bytes == 0)
            break;
        if (bytes > 0)
            *size += (size_t)bytes;
        else if (errno != EINTR)
            wrong = strerror (errno);
    }
    close (file);
    return wrong;
}

kv_status_t config_load (config_t *self, const char *path, unsigned files)
{
    if (self->error)
        return KV_CONFIG;
    uint8_t *data = NULL;
    size_t size = 0;
    kv_status_t status;
    const char *wrong = s_read_file (path, &data, &size);
    if (wrong)
        status = config_fail (self, (config_spot_t){path, 1, 1},
                              "cannot be read: %s; allowed is a readable file", wrong);
    else
        status = config_load_bytes (self, path, kv_slice (data, size), files);
    free (data);
    return status;
}

/* The reader for the file's extension, or NULL. */
static kv_status_t (*s_reader (const char *path)) (config_load_t *)
{
    const char *slash = strrchr (path, '/');
    const char *dot = strrchr (slash ? slash : path, '.');
    if (dot && (strcasecmp (dot, ".yaml") == 0 || strcasecmp (dot, ".yml") == 0))
        return config_yaml_read;
    if (dot && strcasecmp (dot, ".properties") == 0)
        return config_properties_read;
    return NULL;
}

static kv_status_t s_read (config_load_t *load)
{
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf}; /* a byte order mark may lead UTF-8 */
    config_spot_t spot = config_load_spot (load, 1, 1);
    kv_status_t (*reader) (config_load_t *) = s_reader (load->file);
    if (!reader)
        return config_fail (load->config, spot,
                            "the format is unknown; allowed are .yaml, .yml and .properties");
    if (load->bytes.size > CONFIG_FILE_BYTES_MAX)
        return config_fail (load->config, spot, "the file is too big; at most %d bytes are allowed",
                            CONFIG_FILE_BYTES_MAX);
    if (load->bytes.size >= 3 && memcmp (load->bytes.data, mark, 3) == 0)
        load->bytes = kv_slice (load->bytes.data + 3, load->bytes.size - 3);
    kv_status_t status = s_check_text (load);
    return status == KV_OK ? reader (load) : status;
}

kv_status_t config_load_bytes (config_t *self, const char *path, kv_slice_t bytes, unsigned files)
{
    if (self->error)
        return KV_CONFIG;
    if (self->file_count == CONFIG_FILES_MAX)
        return config_fail (self, (config_spot_t){path, 1, 1},
                            "too many files; at most %d are allowed", CONFIG_FILES_MAX);
    config_file_t *file = &self->files[self->file_count++];
    *file = (config_file_t){config_copy (kv_slice_text (path)), files};
    config_load_t load = {.config = self, .file = file->path, .files = files, .bytes = bytes};
    kv_status_t status = s_read (&load);
    for (size_t i = 0; i < load.seen_count; i++)
        free (load.seen[i].path);
    free (load.seen);
    return status;
}

/* Keys */

/* FNV-1a (Fowler, Noll, Vo), 32 bits: it only spares comparisons. */
static uint32_t s_hash (const char *text)
{
    uint32_t hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

kv_status_t config_load_once (config_load_t *self, const char *path, config_spot_t spot)
{
    uint32_t hash = s_hash (path);
    for (size_t i = 0; i < self->seen_count; i++) {
        const config_seen_t *seen = &self->seen[i];
        if (seen->hash == hash && strcmp (seen->path, path) == 0)
            return config_fail (self->config, spot,
                                "%s is given twice, first on line %u; allowed is once",
                                config_shown (kv_slice_text (path)).text, seen->line);
    }
    if (self->seen_count == CONFIG_KEYS_MAX)
        return config_fail (self->config, spot, "too many keys; at most %d are allowed in a file",
                            CONFIG_KEYS_MAX);
    if (self->seen_count == self->seen_capacity) {
        size_t capacity = self->seen_capacity ? self->seen_capacity * 2 : 32;
        self->seen = config_grow (self->seen, self->seen_count, capacity, sizeof (config_seen_t));
        self->seen_capacity = capacity;
    }
    self->seen[self->seen_count++] =
        (config_seen_t){config_copy (kv_slice_text (path)), hash, spot.line};
    return KV_OK;
}

bool config_is_group_of (const char *path, const char *whole)
{
    size_t size = strlen (path);
    return size > 0 && strncmp (path, whole, size) == 0 && whole[size] == '.';
}

static bool s_is_foreign (const config_load_t *self, const char *path)
{
    for (size_t i = 0; i < self->config->foreign_count; i++) {
        const config_foreign_t *foreign = &self->config->foreign[i];
        if (!(foreign->files & self->files))
            continue;
        if (strcmp (foreign->prefix, path) == 0 || config_is_group_of (foreign->prefix, path))
            return true;
    }
    return false;
}

/* True for the dotted beginning of a row's name or of a foreign prefix. */
static bool s_is_group (const config_load_t *self, const char *path)
{
    const config_t *config = self->config;
    for (size_t i = 0; i < config->entry_count; i++) {
        const config_entry_t *entry = &config->entries[i];
        if ((entry->files & self->files) && config_is_group_of (path, entry->row->name))
            return true;
    }
    for (size_t i = 0; i < config->foreign_count; i++) {
        const config_foreign_t *foreign = &config->foreign[i];
        if ((foreign->files & self->files) && config_is_group_of (path, foreign->prefix))
            return true;
    }
    return false;
}

static kv_status_t s_unknown (config_load_t *self, const char *path, config_spot_t spot,
                              const config_entry_t *elsewhere)
{
    config_shown_t shown = config_shown (kv_slice_text (path));
    if (elsewhere && elsewhere->row->command_line)
        return config_fail (self->config, spot,
                            "%s has no place in a file; allowed is the flag %s only", shown.text,
                            elsewhere->flag);
    if (elsewhere)
        return config_fail (self->config, spot,
                            "%s has no place in this file; allowed is it in another one of the "
                            "program's files",
                            shown.text);
    config_nearest_t nearest = config_nearest (kv_slice_text (path));
    for (size_t i = 0; i < self->config->entry_count; i++) {
        const config_entry_t *entry = &self->config->entries[i];
        if (entry->files & self->files)
            config_nearest_offer (&nearest, entry->row->name, entry->row->name);
    }
    if (nearest.best)
        return config_fail (self->config, spot, "unknown key \"%s\"; did you mean %s?", shown.text,
                            nearest.best);
    return config_fail (self->config, spot,
                        "unknown key \"%s\"; --help lists those that are allowed", shown.text);
}

kv_status_t config_load_key (config_load_t *self, const char *path, config_spot_t spot,
                             config_key_t *kind, config_entry_t **entry)
{
    config_t *config = self->config;
    config_entry_t *elsewhere = NULL;
    *entry = NULL;
    kv_status_t status = config_load_once (self, path, spot);
    if (status != KV_OK)
        return status;
    size_t index;
    if (config_find (config, path, &index)) {
        if (config->entries[index].files & self->files) {
            *entry = &config->entries[index];
            *kind = CONFIG_KEY_VALUE;
            return KV_OK;
        }
        elsewhere = &config->entries[index];
    }
    if (s_is_group (self, path)) {
        *kind = CONFIG_KEY_GROUP;
        return KV_OK;
    }
    if (s_is_foreign (self, path)) {
        *kind = CONFIG_KEY_FOREIGN;
        return KV_OK;
    }
    return s_unknown (self, path, spot, elsewhere);
}

kv_status_t config_load_value (config_load_t *self, config_entry_t *entry, kv_slice_t text,
                               config_spot_t spot)
{
    config_setting_t setting = {entry->row, entry->row->name, spot, self->file};
    return config_set_entry (self->config, entry, CONFIG_FILE, &setting, text);
}
