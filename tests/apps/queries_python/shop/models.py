"""Tables that are there already."""

from django.db import models


class Customer(models.Model):
    name = models.TextField()
    email = models.TextField()

    class Meta:
        managed = False
        db_table = "customers"


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.DO_NOTHING)
    placed = models.DateField()

    class Meta:
        managed = False
        db_table = "orders"


class Item(models.Model):
    order = models.ForeignKey(Order, models.DO_NOTHING, related_name="items")
    product = models.TextField()
    cents = models.IntegerField()

    class Meta:
        managed = False
        db_table = "order_items"


class Setting(models.Model):
    name = models.TextField(primary_key=True)
    value = models.TextField()

    class Meta:
        managed = False
        db_table = "settings"
