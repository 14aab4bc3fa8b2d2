import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/**
 * Kafka's own client, as a foreign producer and as an independent witness of what a topic holds. Its arguments are the
 * brokers and then steps, carried out one after another:
 *
 *   records TOPIC CODEC COUNT PREFIX    tasks PREFIX0, PREFIX1, ...; every 50th with 100,000 bytes of payload; a TOPIC of
 *                                       the form "name:3" puts all of them into that partition
 *   transactions TOPIC CODEC ROUNDS PREFIX
 *                                       in each round two transactions at the same time, one of them aborted, and a record
 *                                       of no transaction between; ids of aborted tasks begin with "aborted-"
 *   open TOPIC PREFIX                   a transaction that is never ended; its producer is gone when the program ends
 *   keyed TOPIC COUNT KEYS PREFIX       each task under one of KEYS keys, so that later ones replace earlier ones
 *   read TOPIC                          prints "partition offset id" of each record that a consumer of committed records gets
 */
public final class JavaClient {
  private static String brokers;

  public static void main(String[] args) {
    brokers = args[0];
    int at = 1;
    while (at < args.length) {
      switch (args[at]) {
        case "records" -> records(args[at + 1], args[at + 2], Integer.parseInt(args[at + 3]), args[at + 4]);
        case "transactions" -> transactions(args[at + 1], args[at + 2], Integer.parseInt(args[at + 3]), args[at + 4]);
        case "open" -> open(args[at + 1], args[at + 2]);
        case "keyed" -> keyed(args[at + 1], Integer.parseInt(args[at + 2]), Integer.parseInt(args[at + 3]), args[at + 4]);
        case "read" -> read(args[at + 1]);
        default -> throw new IllegalArgumentException(args[at]);
      }
      at += switch (args[at]) {
        case "read" -> 2;
        case "open" -> 3;
        default -> 5;
      };
    }
    System.out.flush();
    Runtime.getRuntime().halt(0); // closing would end the open transaction
  }

  private static void records(String topic, String codec, int count, String prefix) {
    try (var producer = producer(codec, null)) {
      String[] place = topic.split(":");
      int partitions = producer.partitionsFor(place[0]).size();
      for (int i = 0; i < count; i++) {
        int partition = place.length > 1 ? Integer.parseInt(place[1]) : i % partitions;
        producer.send(task(place[0], partition, null, prefix + i, i % 50 == 0 ? 100_000 : 40));
      }
    }
  }

  private static void transactions(String topic, String codec, int rounds, String prefix) {
    try (var first = producer(codec, prefix + "first");
        var second = producer(codec, prefix + "second");
        var plain = producer(codec, null)) {
      first.initTransactions();
      second.initTransactions();
      int partitions = first.partitionsFor(topic).size();
      for (int round = 0; round < rounds; round++) {
        boolean abortFirst = round % 2 == 0;
        first.beginTransaction();
        second.beginTransaction();
        for (int i = 0; i < 4; i++) {
          String name = prefix + round + "-" + i;
          first.send(task(topic, i % partitions, null, (abortFirst ? "aborted-" : "") + name + "-first", 40));
          second.send(task(topic, i % partitions, null, (abortFirst ? "" : "aborted-") + name + "-second", 40));
        }
        first.flush();
        second.flush();
        plain.send(task(topic, round % partitions, null, prefix + round + "-plain", 40));
        plain.flush();
        end(first, abortFirst);
        end(second, !abortFirst);
      }
    }
  }

  private static void end(KafkaProducer<byte[], byte[]> producer, boolean abort) {
    if (abort) producer.abortTransaction();
    else producer.commitTransaction();
  }

  private static void open(String topic, String prefix) {
    var producer = producer("none", prefix + "open");
    producer.initTransactions();
    producer.beginTransaction();
    int partitions = producer.partitionsFor(topic).size();
    for (int partition = 0; partition < partitions; partition++) {
      producer.send(task(topic, partition, null, "aborted-" + prefix + partition, 40));
    }
    producer.flush();
  }

  private static void keyed(String topic, int count, int keys, String prefix) {
    try (var producer = producer("lz4", null)) {
      int partitions = producer.partitionsFor(topic).size();
      for (int i = 0; i < count; i++) {
        // A key keeps its partition, and the keys of one partition are drawn in no regular order.
        int key = (int) ((i * 2_654_435_761L >>> 7) % keys);
        producer.send(task(topic, key % partitions, "key-" + key, prefix + i, 40));
      }
    }
  }

  private static void read(String topic) {
    var properties = new Properties();
    properties.put("bootstrap.servers", brokers);
    properties.put("isolation.level", "read_committed");
    properties.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
    properties.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
    try (var consumer = new KafkaConsumer<byte[], byte[]>(properties)) {
      List<TopicPartition> all = new ArrayList<>();
      consumer.partitionsFor(topic).forEach(info -> all.add(new TopicPartition(topic, info.partition())));
      consumer.assign(all);
      consumer.seekToBeginning(all);
      Map<TopicPartition, Long> ends = consumer.endOffsets(all);
      while (!all.stream().allMatch(partition -> consumer.position(partition) >= ends.get(partition))) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
          Header id = record.headers().lastHeader("task-id");
          String name = new String(id.value(), StandardCharsets.UTF_8);
          System.out.println(record.partition() + " " + record.offset() + " " + name);
        }
      }
    }
  }

  private static KafkaProducer<byte[], byte[]> producer(String codec, String transactionalId) {
    var properties = new Properties();
    properties.put("bootstrap.servers", brokers);
    properties.put("compression.type", codec);
    properties.put("linger.ms", "50");
    properties.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
    properties.put("value.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
    if (transactionalId != null) {
      properties.put("transactional.id", transactionalId);
      properties.put("transaction.timeout.ms", "2000");
    }
    return new KafkaProducer<>(properties);
  }

  private static ProducerRecord<byte[], byte[]> task(
      String topic, int partition, String key, String id, int payloadBytes) {
    var filler = new StringBuilder(payloadBytes + 16);
    for (int i = 0; filler.length() < payloadBytes; i++) filler.append((i * 2_654_435_761L) & 0xffff);
    byte[] value = ("{\"filler\":\"" + filler + "\"}").getBytes(StandardCharsets.UTF_8);
    byte[] keyBytes = key == null ? null : key.getBytes(StandardCharsets.UTF_8);
    var record = new ProducerRecord<>(topic, partition, keyBytes, value);
    record.headers().add("task-id", id.getBytes(StandardCharsets.UTF_8));
    return record;
  }
}
